A tag is silent exactly as long as it may be.
More than is strict.
Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 60 s

Course
  12:00 D1 HEARTBEAT
  12:10 D1 HEARTBEAT

Findings at 12:11
  none

Alerts
  none

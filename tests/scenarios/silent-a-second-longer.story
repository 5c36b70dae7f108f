A tag is silent a second longer than it may be.

Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 60 s

Course
  12:00 D1 HEARTBEAT
  12:10:01 D1 HEARTBEAT

Findings at 12:11
  W1 NO_COMMUNICATION from 12:10 to 12:10:01

Alerts
  W1 NO_COMMUNICATION warning

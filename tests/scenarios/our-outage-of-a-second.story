We are down for a second.

Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 60 s

Course
  11:30 to 12:10 every 60 s D1 HEARTBEAT
  12:10:10 down until 12:10:11
  12:15 D1 HEARTBEAT

Findings at 12:20
  none

Alerts
  none

We are down for twelve hours.
Nobody is called silent for that: the silence of a tag is less our own.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 60 s

Course
  11:30 to 12:10 every 60 s D1 HEARTBEAT
  12:10 down until 00:10+1
  00:15+1 D1 HEARTBEAT

Findings at 00:16+1
  none

Alerts
  none

Somebody stands on the very boundary of a zone.
The circle meets the edge: nothing is decided, and nothing is claimed.
Ready 11:30

Orders
  tag D1 on W1 from 11:30 every 36000 s
  X1 obliges W1: EXCLUSION inside park, always

Course
  12:00 to 12:30 every 5 min D1 at gate

Findings at 12:35
  none

Alerts
  none

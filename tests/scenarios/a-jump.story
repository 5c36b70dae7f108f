One fix lies 56 km away, a minute later.
Nobody is that fast: it is kept, and is no evidence.
Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  12:00 to 12:30 every 2 min D1 at home
  12:11 D1 at city

Findings at 12:32
  none

Alerts
  none

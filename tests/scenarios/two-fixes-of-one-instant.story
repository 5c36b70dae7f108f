Two fixes of one instant contradict each other.
The more precise one is evidence, the other is kept.
Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  12:00 to 12:30 every 5 min D1 at home
  12:05 D1 at street ± 30 m
  12:10 D1 at street ± 30 m

Findings at 12:32
  none

Alerts
  none

GPS drifts indoors, and says itself how bad it is.
Circles of 400 m decide nothing, so nobody is disturbed.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:40 every 5 min D1 at home
  19:45 D1 at street ± 400 m
  19:50 D1 at street ± 400 m
  19:55 D1 at home

Findings at 20:00
  none

Alerts
  none

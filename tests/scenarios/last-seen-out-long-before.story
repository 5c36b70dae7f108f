Last seen out ten minutes before the curfew, and at home two minutes into it.
Nobody saw a violation.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:40 D1 at street
  18:50 D1 at street
  19:00 clock
  19:02 D1 at home
  19:03 D1 at home

Findings at 19:05
  none

Alerts
  none

Three minutes late within a grace of five is recorded and alerts nobody.
The bus was late.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00, grace 300 s

Course
  18:50 to 19:00 every 5 min D1 at street
  19:03 D1 at home
  19:04 D1 at home

Findings at 19:10
  W1 CURFEW RETURNED_LATE on C1 from 19:00 to 19:03, within grace

Alerts
  none

Three minutes late without grace is an alert.
The bus was late.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:00 every 5 min D1 at street
  19:03 D1 at home
  19:04 D1 at home

Findings at 19:10
  W1 CURFEW RETURNED_LATE on C1 from 19:00 to 19:03

Alerts
  W1 CURFEW on C1 AL09 serious, raised 19:00

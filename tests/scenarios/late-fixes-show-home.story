Late fixes show that the person was at home.
Withdrawn, and the alert says so.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:55 D1 at street
  18:58 D1 at street
  19:00 clock
  18:58:30 D1 at home, received 19:20
  18:59 D1 at home, received 19:20

Findings at 19:25
  none

Alerts
  W1 CURFEW on C1 AL08 serious, withdrawn, raised 19:00

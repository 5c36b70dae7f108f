Somebody leaves before the end and does not come back in time.
The reason changes when the period ends.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-20:00

Course
  18:50 to 19:30 every 5 min D1 at home
  19:35 to 20:10 every 5 min D1 at street

Findings at 20:12
  W1 CURFEW OUT_AT_END on C1 from 19:35 to 20:00, known 19:40

Alerts
  W1 CURFEW on C1 AL11 serious, raised 19:40

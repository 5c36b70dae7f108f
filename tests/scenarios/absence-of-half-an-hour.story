An absence covers the first half hour of a curfew.
What is left is obliged from 19:30.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  W1 is absent from 19:00 to 19:30 for work

Course
  18:50 to 20:00 every 5 min D1 at street

Findings at 20:05
  W1 CURFEW OUT_AT_START on C1 from 19:30, lasting

Alerts
  W1 CURFEW on C1 AL08 serious, raised 19:30

One person breaks a curfew, the next does not.

Ready 18:00

Orders
  tag D1..D2 on W1..W2 from 18:00 every 36000 s
  C1 obliges W1..W2: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:10 every 5 min D1 at street
  18:50 to 19:10 every 5 min D2 at home

Findings at 19:12
  W1 CURFEW OUT_AT_START on C1 from 19:00, lasting
  never W2 CURFEW

Alerts
  W1 CURFEW on C1 AL08 serious, raised 19:00

Grace is over while somebody is still out: then it is an alert.
Recorded from the start, alerted when the grace has passed.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00, grace 300 s

Course
  18:50 to 19:15 every 5 min D1 at street

Findings at 19:16
  W1 CURFEW OUT_AT_START on C1 from 19:00, lasting

Alerts
  W1 CURFEW on C1 AL08 serious, raised 19:05

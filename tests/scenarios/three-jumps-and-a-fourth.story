After three jumps in a row the next fix is accepted.
So that no device is silenced for ever.
Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  12:00 to 12:10 every 2 min D1 at home
  12:11 to 12:15 every 60 s D1 at city

Findings at 12:20
  W1 CURFEW LEFT_DURING on C1 from 12:14, lasting, known 12:15

Alerts
  W1 CURFEW on C1 AL10 serious, raised 12:15

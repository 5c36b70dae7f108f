An order is varied at noon while somebody breaks it.
Until noon the old order holds, and what was shown is amended.
Ready 09:30

Orders
  tag D1 on W1 from 09:30 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 10:00-16:00

Course
  09:50 to 12:20 every 5 min D1 at street
  11:00 shows: W1 CURFEW OUT_AT_START on C1 from 10:00, lasting
  12:02 entered: C1 obliges W1: CURFEW within 60 m of home, daily 10:00-16:00, to 12:00

Findings at 12:25
  W1 CURFEW OUT_ENTIRE_PERIOD on C1 from 10:00 to 12:00

Alerts
  W1 CURFEW on C1 AL12 serious, raised 10:00

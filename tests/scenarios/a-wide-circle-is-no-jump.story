A wide cell circle reaches where the tag was, so that it is no jump.
What can be true is taken as true: radii are subtracted from the distance.
Ready 11:50

Orders
  tag D1 on W1 from 11:50 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  11:58 D1 at home
  11:59 D1 at home
  12:00 D1 at home
  12:00:10 D1 at town by LBS ± 1700 m
  12:00:20 D1 at town
  12:00:30 D1 at town

Findings at 12:05
  W1 CURFEW LEFT_DURING on C1 from 12:00:10, lasting, known 12:00:20

Alerts
  W1 CURFEW on C1 AL10 serious, raised 12:00:20

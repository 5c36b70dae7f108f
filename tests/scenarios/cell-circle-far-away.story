Two cell circles of 700 m lie wholly away from home.
2 km away is away, however wide the circle.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 D1 at home
  18:55 D1 at home
  19:10 D1 at town by LBS ± 700 m
  19:15 D1 at gran by LBS ± 690 m

Findings at 19:20
  W1 CURFEW LEFT_DURING on C1 from 19:10, lasting, known 19:15

Alerts
  W1 CURFEW on C1 AL10 serious, raised 19:15

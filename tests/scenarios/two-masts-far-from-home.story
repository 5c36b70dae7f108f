Two different cell circles far from home agree.
That is new each time, and it counts.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:05 every 5 min D1 at home
  19:10 D1 at shop by LBS ± 300 m
  19:15 D1 at shop by LBS ± 300 m
  19:20 D1 at gran by LBS ± 300 m

Findings at 19:22
  W1 CURFEW LEFT_DURING on C1 from 19:10, lasting, known 19:20

Alerts
  W1 CURFEW on C1 AL10 serious, raised 19:20

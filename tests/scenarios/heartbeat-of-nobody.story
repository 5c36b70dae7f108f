A heartbeat that names no home unit is a sign of life and nothing else.
It holds no presence.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s, telling RF
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:50 D1 RF_IN of U1
  19:00 to 19:50 every 10 min D1 HEARTBEAT
  19:51 clock

Findings at 19:55
  W1 UNVERIFIED on C1 from 19:05, lasting, known 19:35

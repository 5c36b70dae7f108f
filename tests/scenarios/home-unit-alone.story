A tag that only a home unit hears: out at five past seven, back at half past eight.
The unit reports changes only and speaks for four hours.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s, telling RF
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00, speaks 14400 s

Course
  18:30 D1 RF_IN of U1
  19:05 D1 RF_OUT of U1
  20:30 D1 RF_IN of U1

Findings at 21:00
  W1 CURFEW LEFT_DURING on C1 from 19:05 to 20:30

Alerts
  W1 CURFEW on C1 AL10 serious, raised 19:05

A home unit stops calling in: what it said last holds for a quarter of an hour, and then nobody knows.
Half an hour later that is a finding; it is no absence.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s, telling RF
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:50 D1 RF_IN of U1
  19:00 to 19:30 every 10 min D1 HEARTBEAT of U1
  20:16 clock

Findings at 20:20
  W1 UNVERIFIED on C1 from 19:45, lasting, known 20:15

Alerts
  none

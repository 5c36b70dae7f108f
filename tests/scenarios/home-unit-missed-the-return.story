A home unit missed the return, and GPS saw it: its calls repeat nothing that was contradicted.
Without that rule he would be out again with every call.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:30 D1 RF_OUT of U1
  18:35 D1 at street
  18:40 to 19:30 every 5 min D1 at home
  18:52 to 19:22 every 10 min D1 HEARTBEAT of U1

Findings at 19:32
  none

Alerts
  none

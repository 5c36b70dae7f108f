A home unit calls in every ten minutes and says that nothing has changed.
Each call repeats what it saw last; presence holds as long as it calls.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s, telling RF
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:50 D1 RF_IN of U1
  19:00 to 21:00 every 10 min D1 HEARTBEAT of U1

Findings at 21:10
  none

Alerts
  none

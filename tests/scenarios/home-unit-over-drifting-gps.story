GPS says out, the home unit says in.
While the home unit sees the tag its word counts; the fixes are recorded.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00
  home unit U1 of W1 stands at C1 from 18:00

Course
  18:50 to 20:00 every 5 min D1 RF_IN of U1
  19:02 to 19:57 every 5 min D1 at street

Findings at 20:03
  none

Alerts
  none

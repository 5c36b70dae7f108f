One precise fix is far off, and the next is home.
One verdict is no run.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 20:00 every 5 min D1 at home
  19:32 D1 at street

Findings at 20:05
  none

Alerts
  none

A tag indoors hears one mast beside the house again and again.
Its circle lies beside the house; repeated, it says nothing new against anybody.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 19:05 every 5 min D1 at home
  19:10 to 19:30 every 5 min D1 at shop by LBS ± 300 m
  19:35 to 19:45 every 5 min D1 at home

Findings at 19:46
  none

Alerts
  none

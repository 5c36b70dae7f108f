Last seen on the road at 08:56, and at work at 09:02.
A cell circle on the way decides nothing of those minutes.
Ready 08:00

Orders
  tag D1 on W1 from 08:00 every 36000 s
  I1 obliges W1: INCLUSION within 200 m of shop, daily 09:00-17:00

Course
  08:50 D1 at home
  08:56 D1 at home
  09:02 D1 at shop
  09:03 to 09:30 every 5 min D1 at shop

Findings at 09:31
  none

Alerts
  none

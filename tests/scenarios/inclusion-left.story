Somebody leaves the workplace they are obliged to be at.

Ready 08:00

Orders
  tag D1 on W1 from 08:00 every 36000 s
  I1 obliges W1: INCLUSION within 200 m of shop, daily 09:00-17:00

Course
  08:50 to 12:00 every 5 min D1 at shop
  12:05 to 12:20 every 5 min D1 at home

Findings at 12:25
  W1 INCLUSION on I1 from 12:05, lasting, known 12:10

Alerts
  W1 INCLUSION on I1 serious, raised 12:10

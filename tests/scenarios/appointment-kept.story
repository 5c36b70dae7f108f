An appointment of an hour, of which half an hour must be stayed, is kept.
He came late and stayed long enough.
Ready 09:00

Orders
  tag D1 on W1 from 09:00 every 36000 s
  N1 obliges W1: ATTENDANCE within 60 m of shop, on MON 10:00-11:00, stay 1800 s

Course
  09:50 to 10:15 every 5 min D1 at home
  10:20 to 11:00 every 5 min D1 at shop

Findings at 11:10
  none

Alerts
  none

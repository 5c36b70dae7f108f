A fix is dated 50 minutes ahead of its receipt.
Kept, and never evidence.
Ready 12:00
Rests on receipt: received at the end, the two fixes would not be ahead of their receipt

Orders
  tag D1 on W1 from 12:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  12:00 to 13:10 every 5 min D1 at home
  13:02 D1 at street, received 12:10
  13:03 D1 at street, received 12:10

Findings at 13:12
  none

Alerts
  none

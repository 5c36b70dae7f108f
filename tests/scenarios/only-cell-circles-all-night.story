The same man all night: one message a night, not thousands.

Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:00 to 07:10+1 every 10 min D1 at home by LBS ± 700 m

Findings at 07:15+1
  W1 UNVERIFIED on C1 from 19:00 to 07:00+1, known 19:30

Alerts
  W1 UNVERIFIED on C1 message, raised 21:00

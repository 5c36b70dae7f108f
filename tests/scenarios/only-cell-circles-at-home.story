A man is at home all evening, and his tag has nothing but cell circles of 700 m.
By the plain rules that is one message, when it is two hours old.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:00 to 21:30 every 5 min D1 at home by LBS ± 700 m

Findings at 21:32
  W1 UNVERIFIED on C1 from 19:00, lasting, known 19:30

Alerts
  W1 UNVERIFIED on C1 message, raised 21:00

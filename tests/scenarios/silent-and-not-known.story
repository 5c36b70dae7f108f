While a tag is silent nobody is told that its wearer's whereabouts are not known.
They are told why.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 60 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:00 to 18:50 every 5 min D1 at home
  19:00 clock
  19:35 clock
  21:05 clock

Findings at 21:30
  W1 NO_COMMUNICATION from 19:00, lasting
  W1 UNVERIFIED on C1 from 19:05, lasting, known 19:35

Alerts
  W1 NO_COMMUNICATION serious

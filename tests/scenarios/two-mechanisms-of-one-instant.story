Two mechanisms give a place for the same instant, and they contradict each other.
The first decisive verdict of an instant counts, by the order of mechanisms; the other is recorded.
Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, always

Course
  12:00 to 12:40 every 5 min D1 at home
  12:00 to 12:40 every 5 min D1 at corner by WIFI ± 30 m

Findings at 12:42
  none

Alerts
  none

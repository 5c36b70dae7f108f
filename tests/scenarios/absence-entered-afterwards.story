An absence is entered after the alert was raised.
The finding is withdrawn; the alert stays, labelled, until a person closes it.
Ready 18:00

Orders
  tag D1 on W1 from 18:00 every 36000 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 to 20:00 every 5 min D1 at street
  20:02 entered: W1 is absent from 18:00 to 23:00 for hospital
  20:03 clock

Findings at 20:05
  none

Alerts
  W1 CURFEW on C1 AL08 serious, withdrawn, raised 19:00

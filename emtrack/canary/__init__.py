"""The canary: a tag of nobody whose strap is cut each minute, through the device door like any other, and who listens whether the
alert arrives. A process of its own: what fails with the service must not be what says so."""

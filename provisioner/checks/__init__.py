"""What we promise a school, as tests that ship with the product.

    promises   what this school's machine must be like, as plain data
    catalog    each check's id, and the promise in a sentence that a teacher understands
    visit      where the machine is and how it proves who it is
    test_*     the checks themselves: testinfra asks the machine over SSH

They run in the workshop before a machine is handed over, and again whenever somebody asks.
`provisioner.stages.verify` starts them in a process of their own and reads their results.
"""

"""Samplers as tables of coefficients; nothing here touches a device.

In sigma space (Karras et al. 2022), where x = image + sigma * noise, a sampler is, pass by pass
through the model, a linear map of what the loop holds:

    denoised = c_skip * x + c_out * model(c_in * x, timestep)
    x, memory = weights @ (x, denoised, denoised_prev, noise, memory, denoised_negative)

`memory` are three arrays of x's size, for whatever a sampler looks back at. So the compiled loop
takes the table as an argument, and neither the sampler nor its number of steps compiles anything.
Schedules are float64 on the host and float32 in the table: in bfloat16 they turn pictures black.

    noise.py     the levels of training, and how a sampler's are placed
    path.py      the levels that a sampler visits
    table.py     the table, and what goes into the model and comes out of it
    multistep.py the weights of samplers that look back at earlier steps
    samplers.py  those of all others, and `make_schedule`

What no such table can hold:

    sampler                  why
    DPM adaptive, RK45       the next step depends on an error that is measured, so nobody knows
                             their number beforehand
    DPM++ with thresholding  clips the estimate at a percentile of its own: not linear
    PNDM's first three steps Runge-Kutta: five arrays besides the sample, where three are kept
    Restart                  holds the same, but goes up again, in more passes than steps
"""

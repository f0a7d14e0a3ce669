import torch
from torch import nn


class Bands(nn.Module):
    untrained = True  # random weights: results are labelled so

    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(201, width), nn.Linear(width, width)])

    def get_downsample_rates(self, key):
        return 320  # samples from one frame to the next

    def forward(self, wavs):  # a list of waveforms [sample] at 16 kHz
        frames = nn.utils.rnn.pad_sequence(wavs, batch_first=True).unfold(1, 400, 320)
        first = self.layers[0](torch.fft.rfft(frames).abs().log1p())
        return {"hidden_states": [first, self.layers[1](first.relu())]}  # each [batch, frame, feature]


make = Bands  # or a function that returns a module

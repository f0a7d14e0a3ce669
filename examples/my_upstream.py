import torch


class Bands(torch.nn.Module):
    untrained = True  # random weights: results are labelled so

    def __init__(self, width=64):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(size, width) for size in (201, width))

    def get_downsample_rates(self, key):
        return 320  # samples from one frame to the next

    def forward(self, wavs):  # a list of waveforms [sample] at 16 kHz
        frames = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True).unfold(1, 400, 320)
        first = self.layers[0](torch.fft.rfft(frames).abs().log1p())  # [batch, frame, feature]
        return {"hidden_states": [first, self.layers[1](first.relu())]}


make = Bands  # or a function that returns a module

import Glibc
import TensorCore

/// Cosines and sines of a run of positions, for all heads and blocks of one pass.
package struct RotaryTable: Sendable {
  private let cosines: FloatBuffer
  private let sines: FloatBuffer
  private let half: Int

  /// The table of positions `first ..< first + tokens`.
  package init(_ rotary: RotaryScaling, frequencies: [Float], first: Int, tokens: Int) {
    let count = tokens * frequencies.count
    self.init(
      rotary, frequencies: frequencies, tokens: tokens, cosines: FloatBuffer(count: count),
      sines: FloatBuffer(count: count)
    ) { first + $0 }
  }

  /// The table of each token's `position`, in memory that is there, of `tokens` times as many numbers as there are frequencies.
  package init(
    _ rotary: RotaryScaling, frequencies: [Float], tokens: Int, cosines: FloatBuffer, sines: FloatBuffer,
    position: @Sendable (_ token: Int) -> Int
  ) {
    let half = frequencies.count
    let factor = rotary.attentionFactor
    Parallel.forEach(tokens) { token in
      let position = Float(position(token))
      for place in 0..<half {
        // The angle is rounded to 32 bits as transformers rounds it: at far positions that is visible.
        let angle = Double(position * frequencies[place])
        cosines.base[token * half + place] = Float(cos(angle)) * factor
        sines.base[token * half + place] = Float(sin(angle)) * factor
      }
    }
    self.cosines = cosines
    self.sines = sines
    self.half = half
  }

  /// Turns each of the `heads` heads of one token, in place.
  package func rotate(_ x: UnsafeMutablePointer<Float>, token: Int, heads: Int) {
    let (cosine, sine) = (cosines.base + token * half, sines.base + token * half)
    for head in 0..<heads {
      Kernels.rotateHalves(x + head * 2 * half, cosine: cosine, sine: sine, half: half)
    }
  }

  /// Turns gradients by turned heads into gradients by the heads as they were, in place.
  package func rotateBack(_ x: UnsafeMutablePointer<Float>, token: Int, heads: Int) {
    let (cosine, sine) = (cosines.base + token * half, sines.base + token * half)
    for head in 0..<heads {
      let (first, second) = (x + head * 2 * half, x + head * 2 * half + half)
      for place in 0..<half {
        let (a, b) = (first[place], second[place])
        first[place] = a * cosine[place] + b * sine[place]
        second[place] = b * cosine[place] - a * sine[place]
      }
    }
  }
}

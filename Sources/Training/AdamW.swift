import TensorCore

/// AdamW with decoupled decay (arXiv 1711.05101), gradients clipped to a length. Weights stay in single precision.
package final class AdamW {
  private static let piece = 1 << 15

  /// A part of a tensor.
  private struct Piece: Sendable {
    let start, count: Int
    let decays, keepsZeros: Bool
    let rate: Double
    let epsilon: Float
  }

  /// What is added to roots of second moments. Gradients by codes are those by weights times scales, so far smaller.
  private static let (epsilon, codedEpsilon): (Float, Float) = (1e-8, 1e-13)

  let first, second: NumberBuffer<Float>
  /// The steps that were taken.
  var step = 0
  private let pieces: [Piece]
  private let settings: TrainingSettings

  /// An optimizer of weights of `layout`.
  package init(_ layout: ParameterLayout, _ settings: TrainingSettings) {
    self.settings = settings
    first = NumberBuffer(layout.count)
    second = NumberBuffer(layout.count)
    pieces = layout.entries.filter { $0.rate > 0 }.flatMap { entry in
      stride(from: 0, to: entry.count, by: AdamW.piece).map {
        Piece(
          start: entry.offset + $0, count: min(AdamW.piece, entry.count - $0), decays: entry.decays,
          keepsZeros: entry.isSparse, rate: entry.rate,
          epsilon: entry.isCoded ? AdamW.codedEpsilon : AdamW.epsilon)
      }
    }
  }

  /// The length of the gradient; what it has where zeros stay zero does not count, and is taken out.
  private func length(_ gradients: NumberBuffer<Float>, _ weights: NumberBuffer<Float>) -> Double {
    let sums = NumberBuffer<Double>(pieces.count)
    let pieces = pieces
    Parallel.forEach(pieces.count) { index in
      let piece = pieces[index]
      let (g, w) = (gradients.base + piece.start, weights.base + piece.start)
      if piece.keepsZeros { for place in 0..<piece.count where w[place] == 0 { g[place] = 0 } }
      sums.base[index] = Kernels.dotWide(g, g, count: piece.count)
    }
    return sums.array.reduce(0, +).squareRoot()
  }

  /// One step; returns the gradient's length before it was clipped. Nothing happens where that is not finite.
  package func update(_ weights: NumberBuffer<Float>, _ gradients: NumberBuffer<Float>, rate: Double)
    -> Double
  {
    let length = length(gradients, weights)
    guard length.isFinite else { return length }
    step += 1
    let scale = length > settings.clip ? settings.clip / length : 1
    let call = Kernels.AdamWStep(
      rate: Float(rate), decay: Float(settings.decay), betas: (0.9, 0.95), epsilon: AdamW.epsilon, step: step,
      gradientScale: Float(scale), keepsZeros: false)
    let (pieces, first, second) = (pieces, first, second)
    Parallel.forEach(pieces.count) { index in
      let piece = pieces[index]
      var own = call
      if !piece.decays { own.decay = 0 }
      own.keepsZeros = piece.keepsZeros
      own.rate = Float(rate * piece.rate)
      own.epsilon = piece.epsilon
      Kernels.adamW(
        own, weights: weights.base + piece.start, gradients: gradients.base + piece.start,
        first: first.base + piece.start, second: second.base + piece.start, count: piece.count)
    }
    return length
  }
}

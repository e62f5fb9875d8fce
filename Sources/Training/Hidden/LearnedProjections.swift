import TensorCore

/// The matrices of a ``HiddenLoss``, which are learned along and thrown away at the end.
final class LearnedProjections {
  let weights, gradients: NumberBuffer<Float>
  private let optimizer: AdamW

  /// The identity where widths are the same, as between a teacher and a part of its blocks; else seeded noise.
  init(_ loss: HiddenLoss<Float>, settings: TrainingSettings) {
    var layout = ParameterLayout()
    layout.append(
      "projections of hidden states", count: loss.pairs.count * loss.projectionCount, rate: 1, isCoded: false)
    weights = NumberBuffer(layout.count)
    gradients = NumberBuffer(layout.count)
    optimizer = AdamW(layout, settings)
    var generator = SeededGenerator(seed: settings.seed ^ 0x7072_6F6A)
    let isSquare = loss.studentWidth == loss.teacherWidth
    let size = (3 / Double(loss.studentWidth)).squareRoot()
    for place in 0..<layout.count {
      let (row, column) = (
        place % loss.projectionCount / loss.studentWidth, place % loss.studentWidth
      )
      weights.base[place] =
        isSquare ? (row == column ? 1 : 0) : Float((2 * generator.uniform() - 1) * size)
    }
  }

  /// One step.
  func update(rate: Double) -> Double { optimizer.update(weights, gradients, rate: rate) }

  /// Weights and moments, one behind the other.
  var state: NumberBuffer<Float> {
    NumberBuffer(weights.array + optimizer.first.array + optimizer.second.array)
  }

  /// Goes on with a saved state; false when it is none.
  func resume(_ state: NumberBuffer<Float>, step: Int) -> Bool {
    let count = weights.count
    guard state.count == 3 * count else { return false }
    weights.base.update(from: state.base, count: count)
    optimizer.first.base.update(from: state.base + count, count: count)
    optimizer.second.base.update(from: state.base + 2 * count, count: count)
    optimizer.step = step
    return true
  }
}

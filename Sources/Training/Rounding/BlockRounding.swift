import Models
import TensorCore

/// How rounding is learned.
package struct BlockRoundingSettings: Sendable, Equatable {
  /// The steps for each block.
  package var steps = 200
  /// The tokens of a step.
  package var batchTokens = 1024
  /// The way of a code's number in all steps of a falling rate: half a code, as far as it may go.
  package var reach = 0.5
  /// The way of a scale's factor, in parts of the scale; 0 for scales that stay.
  package var scaleReach = 0.02
  /// The tests on held-out text for each block.
  package var tests = 10
  package var seed: UInt64 = 0
  /// Whether products of the training are of numbers rounded to bfloat16.
  package var rounds = TrainingSettings.canRound

  /// The defaults.
  package init() {}
}

/// One block's rounding, learned by the signs of gradients (SignRound, arXiv 2309.05516): the block's output is brought near to the
/// original block's, its input being that of the rounded model. Errors count as predictions depend on them (BRECQ, arXiv 2102.05426).
///
/// A code's number begins where the original weight lies between codes, as far as that rounds to the code which the block has; it may
/// go half a code. Scales may go by some hundredths. What does best on text that is held out is kept.
struct BlockRounding {
  let graph, testGraph: LlamaGraph<Float>
  let settings: BlockRoundingSettings
  let form: CodedWeights
  /// What is learned at the start, as the block is; and as the descent begins, which rounds to the same.
  let begin, start: NumberBuffer<Float>
  let width: Int
  /// What errors e of the block's outputs cost, e G eᵀ: a matrix, width × width; nil for their squares.
  let metric: NumberBuffer<Float>?

  /// States before the block and wanted behind it.
  struct Text {
    let input, goal: StateStream
  }

  /// What came of it.
  struct Result {
    let parameters: NumberBuffer<Float>
    /// The mean squared error on held-out text, over that of the outputs.
    let before, after: Double
  }

  /// Learns.
  func run(_ text: Text, heldOut: Text, progress: (Double) throws -> Void) throws -> Result {
    let parameters = start.copy()
    var best = begin
    let before = error(heldOut, begin)
    var least = before
    let gradients = NumberBuffer<Float>(form.layout.count)
    var order = DataOrder(lengths: text.input.documents.map(\.count), seed: settings.seed)
    for step in 0..<settings.steps {
      gradient(text, order.next(tokens: settings.batchTokens), parameters, into: gradients)
      // 1, …, 1 / steps: their sum, times 2 / (steps + 1), is 1.
      let left = Double(settings.steps - step) / Double(settings.steps)
      descend(parameters, gradients, share: left * 2 / Double(settings.steps + 1))
      if (step + 1) * settings.tests / settings.steps > step * settings.tests / settings.steps {
        let found = error(heldOut, parameters)
        if found < least { (least, best) = (found, parameters.copy()) }
        try progress(Double(step + 1) / Double(settings.steps))
      }
    }
    return Result(parameters: best, before: before, after: least)
  }

  /// The gradient of some documents by what is learned.
  private func gradient(
    _ text: Text, _ documents: [Int], _ parameters: NumberBuffer<Float>, into gradients: NumberBuffer<Float>
  ) {
    gradients.clear()
    let weights = form.weights(of: parameters)
    for part in GradientStep<Float>.parts(documents.map { text.input.documents[$0] }, tokens: 1024) {
      let places = part.map { documents[$0] }
      let packed = PackedTokens(places.map { text.input.documents[$0] })
      let made = graph.forward(text.input.states(places), packed, weights: weights.base)
      _ = difference(made.output, text.goal.states(places))
      graph.goBack(made, gradient: made.output, weights: weights.base, into: gradients.base)
    }
    form.pull(gradients, at: parameters)
  }

  /// The mean squared error of some parameters.
  private func error(_ text: Text, _ parameters: NumberBuffer<Float>) -> Double {
    let weights = form.weights(of: parameters)
    var (sum, all) = (0.0, 0.0)
    for part in text.input.parts {
      let packed = PackedTokens(part.map { text.input.documents[$0] })
      let made = testGraph.forward(text.input.states(part), packed, weights: weights.base)
      let found = difference(made.output, text.goal.states(part))
      sum += found.error
      all += found.goal
    }
    return all > 0 ? sum / all : 0
  }

  /// What y − goal costs, and what the goal would; `y` becomes the gradient of the half of the first.
  private func difference(_ y: NumberBuffer<Float>, _ goal: NumberBuffer<Float>) -> (
    error: Double, goal: Double
  ) {
    let (rows, width) = (y.count / width, width)
    Parallel.forEach(rows, work: y.count) { row in
      Float.addScaled(-1, goal.base + row * width, to: y.base + row * width, count: width)
    }
    let (slope, size) = (costs(y, rows), costs(goal, rows))
    let sums = NumberBuffer<Double>(2 * rows)
    Parallel.forEach(rows, work: 2 * y.count) { row in
      let place = row * width
      sums.base[2 * row] = Float.dot(y.base + place, slope.base + place, count: width)
      sums.base[2 * row + 1] = Float.dot(goal.base + place, size.base + place, count: width)
    }
    y.take(slope)
    var result = (error: 0.0, goal: 0.0)
    for row in 0..<rows {
      result.error += sums.base[2 * row]
      result.goal += sums.base[2 * row + 1]
    }
    return result
  }

  /// Errors times the metric.
  private func costs(_ errors: NumberBuffer<Float>, _ rows: Int) -> NumberBuffer<Float> {
    guard let metric else { return errors.copy() }
    let result = NumberBuffer<Float>(errors.count)
    Float.add(
      TrainingProduct(
        a: (UnsafePointer(errors.base), width, 1), b: (UnsafePointer(metric.base), width, 1), c: result.base,
        row: width, rows: rows, inner: width, columns: width))
    return result
  }

  /// One step against the signs of the gradient, within the ways that are allowed.
  private func descend(_ parameters: NumberBuffer<Float>, _ gradients: NumberBuffer<Float>, share: Double) {
    let runs = form.runs
    for (range, isSparse) in runs.codes {
      move(parameters, gradients, range, by: Float(settings.reach * share), most: 0.5, keepsZeros: isSparse)
    }
    let reach = settings.scaleReach
    guard reach > 0 else { return }
    for range in runs.factors {
      move(parameters, gradients, range, by: Float(reach * share), most: Float(reach), keepsZeros: false)
    }
  }

  private func move(
    _ parameters: NumberBuffer<Float>, _ gradients: NumberBuffer<Float>, _ range: Range<Int>, by step: Float,
    most: Float, keepsZeros: Bool
  ) {
    let (piece, start) = (1 << 14, start)
    Parallel.forEach((range.count + piece - 1) / piece) { index in
      let from = range.lowerBound + index * piece
      for place in from..<min(range.upperBound, from + piece) {
        let (slope, first) = (gradients.base[place], start.base[place])
        if slope == 0 || keepsZeros && first == 0 { continue }
        let wanted = parameters.base[place] + (slope > 0 ? -step : step)
        parameters.base[place] = min(max(wanted, first - most), first + most)
      }
    }
  }
}

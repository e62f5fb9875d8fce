package import Models
import TensorCore

/// Teaches a student what its teacher predicts; the weights that do best on held-out text are what comes out.
package final class Trainer {
  /// What came of it.
  package struct Outcome {
    /// The best weights; of a quantized student, its codes and scales. ``Trainer/student(of:margin:)`` makes a model of them.
    package var weights: NumberBuffer<Float>
    /// The step they are of; 0 for those at the start.
    package var bestStep: Int
    /// The points that were tested, the start first.
    package var curve: [TrainingPoint]
    /// The steps that were taken.
    package var steps: Int
    /// The times that the text was gone through.
    package var epochs: Double
    /// Whether it stopped because nothing more was gained.
    package var stoppedEarly: Bool
    /// Whether it was asked to stop.
    package var wasInterrupted: Bool
  }

  /// What a trainer tells, and is told, while it works.
  package struct Observer {
    /// Told of each point that was tested.
    package var point: (TrainingPoint) throws -> Void = { _ in }
    /// Told how much is done, after each step.
    package var progress: (Double) throws -> Void = { _ in }
    /// Whether to stop after this step.
    package var isInterrupted: () -> Bool = { false }
    /// Called now and then, and when training is interrupted, to keep what there is.
    package var save: ((TrainingState) throws -> Void)?
    /// The seconds between two such calls.
    package var saveInterval = 60.0

    /// One that says nothing.
    package init() {}
  }

  let layout: ParameterLayout
  let settings: TrainingSettings
  private let student: Checkpoint
  private let form: any WeightForm
  private let task: any TrainingTask
  private var documents: [[Int]] { task.documents }
  private let optimizer: AdamW
  private let weights, gradients, best: NumberBuffer<Float>
  private var order: DataOrder
  private var progress = TrainingState.Progress()

  /// A trainer of `student`.
  ///
  /// - Parameters:
  ///   - teacher: of the same vocabulary.
  ///   - documents: what is learned from.
  ///   - heldOut: what decides which weights are best.
  /// - Throws: ``TrainingError`` when the two do not belong together or there is too little text.
  package init(
    student: Checkpoint, teacher: Checkpoint, documents: [[Int]], heldOut: [[Int]], settings: TrainingSettings
  ) throws {
    let documents = documents.filter { $0.count > 1 }
    let heldOut = heldOut.filter { $0.count > 1 }
    let tokens = documents.reduce(0) { $0 + $1.count }
    guard tokens >= 256, !heldOut.isEmpty else {
      throw TrainingError(
        "\(tokens) tokens of text are too few to learn from and hold a part out; give more with --train")
    }
    self.settings = settings
    self.student = student
    let own = ParameterLayout(student)
    form =
      CodedWeights.suits(student) ? try CodedWeights(student, settings: settings) : PlainWeights(student)
    layout = form.layout
    switch student.architecture {
    case let architecture as LlamaArchitecture:
      task = try LanguageTask(
        student: student, architecture, layout: own, teacher: teacher, documents: documents, heldOut: heldOut,
        settings: settings,
        rounding: settings.roundsActivations ? (form as? CodedWeights)?.activationRounding : nil)
    case let architecture as BertArchitecture:
      task = try EncoderTask(
        architecture, layout: own, teacher: teacher, documents: documents, heldOut: heldOut,
        settings: settings)
    default: throw TrainingError("students of this architecture cannot be trained here")
    }
    optimizer = AdamW(layout, settings)
    weights = try form.start()
    best = weights.copy()
    gradients = NumberBuffer(layout.count)
    order = DataOrder(lengths: documents.map(\.count), seed: settings.seed)
  }

  /// Goes on where a saved training stopped.
  ///
  /// - Throws: ``TrainingError`` when it was another model's.
  package func resume(_ state: TrainingState) throws {
    guard state.weights.count == layout.count else {
      throw TrainingError("the saved training is that of a student of another size")
    }
    weights.take(state.weights)
    best.take(state.best)
    optimizer.first.take(state.first)
    optimizer.second.take(state.second)
    progress = state.progress
    if let projections = task.projections,
      !(state.projections.map { projections.resume($0, step: progress.step) } ?? false)
    {
      throw TrainingError("the saved training has no projections of hidden states")
    }
    optimizer.step = progress.step
    order = DataOrder(
      lengths: documents.map(\.count), seed: settings.seed, epoch: progress.epoch, place: progress.place)
  }

  /// Trains.
  ///
  /// - Throws: ``TrainingError`` when losses are no longer finite; what the observer throws.
  package func run(_ observer: Observer) throws -> Outcome {
    try ReusedMemory.keeping(most: Trainer.reusedMemory) { try train(observer) }
  }

  /// The bytes of activations that wait for the next part of a batch.
  static let reusedMemory = 512 << 20

  private func train(_ observer: Observer) throws -> Outcome {
    if progress.curve.isEmpty { try runTest(observer, speed: nil, rate: 0) }
    var (begin, saved) = (ContinuousClock.now, ContinuousClock.now)
    var wasInterrupted = false
    while !isDone {
      let rate = settings.rate(step: progress.step, progress: fraction)
      try takeStep(rate)
      let now = ContinuousClock.now
      progress.seconds += Trainer.seconds(now - begin)
      begin = now
      try observer.progress(fraction)
      wasInterrupted = observer.isInterrupted()
      // Before the test, which would not have been made here: who goes on goes on as if never interrupted.
      if wasInterrupted { try observer.save?(state) }
      if wasInterrupted || isDone || isTestDue {
        let speed = Double(progress.tokens) / max(progress.seconds - progress.testedAt, 1e-9)
        try runTest(observer, speed: speed, rate: rate)
        begin = ContinuousClock.now
        // Tests count as time, not as slowness.
        progress.seconds += Trainer.seconds(begin - now)
        progress.testedAt = progress.seconds
      }
      if let save = observer.save, !wasInterrupted,
        Trainer.seconds(ContinuousClock.now - saved) >= observer.saveInterval
      {
        try save(state)
        (begin, saved) = (ContinuousClock.now, ContinuousClock.now)
      }
      if wasInterrupted { break }
    }
    return Outcome(
      weights: best, bestStep: progress.bestStep, curve: progress.curve, steps: progress.step,
      epochs: Double(order.epoch) + Double(order.place) / Double(max(1, documents.count)),
      stoppedEarly: hasStalled, wasInterrupted: wasInterrupted)
  }

  private func takeStep(_ rate: Double) throws {
    let batch = order.next(tokens: settings.batchTokens)
    let loss = task.step(
      batch, number: progress.step, weights: form.weights(of: weights), into: gradients)
    form.pull(gradients, at: weights)
    guard loss.isFinite, optimizer.update(weights, gradients, rate: rate).isFinite else {
      throw failure(loss)
    }
    if let projections = task.projections, !projections.update(rate: rate).isFinite { throw failure(.nan) }
    progress.step += 1
    (progress.epoch, progress.place) = (order.epoch, order.place)
    progress.losses += loss
    progress.lossCount += 1
    progress.tokens += batch.reduce(0) { $0 + documents[$1].count }
  }

  /// Names the step and the first tensor that is no longer finite.
  private func failure(_ loss: Double) -> TrainingError {
    func first(_ numbers: NumberBuffer<Float>) -> String? {
      layout.entries.first { !Kernels.allFinite(numbers.base + $0.offset, count: $0.count) }?.name
    }
    let place =
      first(weights).map { "tensor '\($0)' holds it" } ?? first(gradients).map {
        "the gradient of tensor '\($0)' is the first to show it"
      } ?? "all gradients are finite"
    return TrainingError(
      "training went wrong at step \(progress.step + 1): the loss is \(loss.isFinite ? "finite, its gradient is not" : "\(loss)"), "
        + "\(place); the last good step is \(progress.step), the best \(progress.bestStep); lower --learning-rate"
    )
  }

  // MARK: What comes of it

  /// The student with an outcome's weights.
  ///
  /// - Parameter margin: how much further than half a code a quantized weight's number must have gone, away from zero, for its code
  ///   to change: files are smaller, and less is gained.
  /// - Throws: `CodingError` when weights cannot be stored.
  package func student(of weights: NumberBuffer<Float>, margin: Float = 0) throws -> Checkpoint {
    if let coded = form as? CodedWeights { return try coded.storing(weights, in: student, margin: margin) }
    return try form.storing(weights, in: student)
  }

  /// What training makes smaller, on held-out text, for a student of this one's shape.
  package func heldOutValue(of checkpoint: Checkpoint) throws -> Double {
    task.test(try ParameterLayout(student).weights(of: checkpoint)).value
  }

  // MARK: Tests

  private func runTest(_ observer: Observer, speed: Double?, rate: Double) throws {
    let rounded = form.settled(weights)
    let found = task.test(form.weights(of: rounded))
    let value = found.value
    guard value.isFinite else { throw failure(value) }
    if progress.curve.isEmpty || value < progress.bestValue {
      progress.bestValue = value
      progress.bestStep = progress.step
      best.take(rounded)
      progress.stale = 0
    } else {
      progress.stale += 1
    }
    let point = TrainingPoint(
      step: progress.step, loss: progress.lossCount > 0 ? progress.losses / Double(progress.lossCount) : nil,
      heldOutKLD: found.divergence, heldOutLoss: found.crossEntropy, heldOutDistance: found.distance,
      learningRate: rate, tokensPerSecond: speed)
    progress.curve.append(point)
    (progress.losses, progress.lossCount, progress.tokens) = (0, 0, 0)
    progress.testedAt = progress.seconds
    progress.testedFraction = fraction
    try observer.point(point)
  }

  /// How much of the training is over.
  private var fraction: Double {
    let byTime = settings.minutes.map { progress.seconds / ($0 * 60) } ?? 0
    let bySteps = settings.steps.map { Double(progress.step) / Double(max(1, $0)) } ?? 0
    return min(1, max(byTime, bySteps))
  }

  private var isTestDue: Bool {
    guard let steps = settings.steps else {
      return fraction - progress.testedFraction >= 1 / Double(settings.tests)
    }
    return progress.step % max(1, steps / settings.tests) == 0
      || settings.minutes != nil && fraction - progress.testedFraction >= 1 / Double(settings.tests)
  }

  private var hasStalled: Bool { progress.stale >= settings.patience && fraction < 1 }
  private var isDone: Bool { fraction >= 1 || hasStalled }

  /// Everything that it takes to go on.
  private var state: TrainingState {
    TrainingState(
      weights: weights, best: best, first: optimizer.first, second: optimizer.second,
      projections: task.projections?.state, progress: progress)
  }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}

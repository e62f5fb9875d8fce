import ModelFiles
import Models
import TensorCore
import Training

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The training of a stage: its text, what it tells while it works, and what it leaves behind to go on with.
struct TrainingRun {
  let options: TrainingOptions
  let context: PassContext
  let teacher: Checkpoint

  /// Whether models like this can be trained.
  ///
  /// - Throws: ``PassError`` that says why not.
  static func check(_ checkpoint: Checkpoint, allowsQuantized: Bool = false) throws {
    guard let architecture = checkpoint.architecture else {
      throw PassError("models of an unknown architecture cannot be trained: nothing says how they run")
    }
    guard architecture is LlamaArchitecture || architecture is BertArchitecture else {
      throw PassError("models of this architecture cannot be trained here; the llama family and BERT can")
    }
    if !allowsQuantized, let tensor = checkpoint.tensors.first(where: { $0.format.isQuantized }) {
      throw PassError(
        "tensor '\(tensor.name)' is already quantized (\(tensor.format.rawValue)): train first, then quantize"
      )
    }
  }

  /// The tokens that a cut is calibrated on.
  private static let calibrationTokens = 28672

  /// What the student's cut is chosen and repaired by: the stage's calibration text, else a part of what it learns from.
  var calibration: CalibrationSet? {
    guard context.calibration == nil, var set = context.training else { return context.calibration }
    set.sequences = TrainingRun.spread(set.sequences, TrainingRun.calibrationTokens)
    set.heldOut = TrainingRun.spread(set.heldOut, TrainingRun.calibrationTokens / 7)
    return set
  }

  private static func spread(_ sequences: [[Int]], _ tokens: Int) -> [[Int]] {
    let all = sequences.reduce(0) { $0 + $1.count }
    guard all > tokens else { return sequences }
    let wanted = max(1, sequences.count * tokens / all)
    return (0..<wanted).map { sequences[$0 * sequences.count / wanted] }
  }

  /// Whether there is a training to go on with.
  var goesOn: Bool {
    guard let place = context.trainingState, place.resumes else { return false }
    return access(place.path, R_OK) == 0
  }

  /// Trains the student that `start` makes.
  func run(_ plan: PassPlan, from start: () throws -> PassResult) throws -> PassResult {
    guard let text = context.training else {
      throw PassError(
        "there is no text to learn from: training needs a tokenizer beside the model (--tokenizer FILE)")
    }
    do { return try train(plan, text, try start()) } catch let error as TrainingError {
      throw PassError(error.description)
    }
  }

  private func train(_ plan: PassPlan, _ text: CalibrationSet, _ start: PassResult) throws -> PassResult {
    let student = start.checkpoint
    let width = student.architecture?.blockwise?.hiddenWidth ?? 256
    var settings = options.settings(
      width: width, seed: context.seed, isQuantized: CodedWeights.suits(student),
      isUniform: CodedWeights.hasUniformCodes(student))
    settings.teacherCache = try teacherCache()
    let trainer = try Trainer(
      student: student, teacher: teacher, documents: text.sequences, heldOut: text.heldOut,
      settings: settings)
    var notes = start.notes
    let identity = try identity(student, text)
    if goesOn, let place = context.trainingState {
      let (state, remarks) = try TrainingState.read(place.path, identity: identity)
      try trainer.resume(state)
      notes = (remarks.arrayValue ?? []).compactMap(\.stringValue)
      context.remark("train", "goes on after step \(state.progress.step)")
    }
    let outcome = try trainer.run(observer(settings, identity, notes))
    let (made, sizeNotes) = try fitting(outcome, trainer, student)
    var result = PassResult(checkpoint: made, plan: plan)
    result.notes = notes + remarks(outcome, settings, text) + sizeNotes
    result.training = TrainingReport(
      curve: outcome.curve, bestStep: outcome.bestStep, steps: outcome.steps, epochs: outcome.epochs,
      loss: settings.loss.kind.rawValue, learningRate: settings.learningRate, text: text.name,
      textHash: text.sha256, tokens: text.tokenCount, heldOutTokens: text.heldOutTokenCount)
    result.training?.wasInterrupted = outcome.wasInterrupted
    return result
  }

  /// The student of an outcome. A quantized one keeps within the size that was asked for: codes that went away from zero with the
  /// least reason go back.
  private func fitting(_ outcome: Trainer.Outcome, _ trainer: Trainer, _ student: Checkpoint) throws
    -> (Checkpoint, [String])
  {
    guard CodedWeights.suits(student) else { return (try trainer.student(of: outcome.weights), []) }
    guard outcome.bestStep > 0 else { return (student, []) }
    let made = try trainer.student(of: outcome.weights)
    guard let goal = context.sizeLimit else { return (made, []) }
    let limit = max(goal, try context.artifactBytes(student))
    let bytes = try context.artifactBytes(made)
    guard bytes > limit else { return (made, []) }
    var (low, high): (Float, Float) = (0, 1)
    var best = try trainer.student(of: outcome.weights, margin: high)
    guard try context.artifactBytes(best) <= limit else {
      return (student, [TrainingRun.tooLarge(bytes, limit)])
    }
    for _ in 0..<TrainingRun.sizeSteps {
      let margin = (low + high) / 2
      let other = try trainer.student(of: outcome.weights, margin: margin)
      if try context.artifactBytes(other) <= limit { (best, high) = (other, margin) } else { low = margin }
    }
    let value = try trainer.heldOutValue(of: best)
    guard let first = outcome.curve.first.flatMap({ $0.heldOutDistance ?? $0.heldOutKLD }), value < first
    else { return (student, [TrainingRun.tooLarge(bytes, limit)]) }
    return (
      best,
      [
        "the artifact would have had \(bytes) bytes, not \(limit): changes of codes that were worth least were taken back, "
          + "held-out value \(TrainingRun.short(value))"
      ]
    )
  }

  private static let sizeSteps = 7

  private static func tooLarge(_ bytes: Int, _ limit: Int) -> String {
    "training was undone: the artifact would have \(bytes) bytes, and \(limit) were asked for; leave room with 'reserve' under "
      + "'ship'"
  }

  /// Where the teacher's predictions are kept, if the recipe asks for some of them.
  private func teacherCache() throws -> TeacherCache? {
    guard let kept = options.teacherTokens else { return nil }
    guard let folder = context.teacherCache else {
      throw PassError("'teacher-tokens' needs a folder to keep predictions in: --teacher-cache DIR")
    }
    var cache = TeacherCache(folder: folder, kept: kept)
    let context = context
    cache.progress = { try context.progress("keep the teacher's predictions", $0) }
    return cache
  }

  // MARK: What it tells

  private func observer(_ settings: TrainingSettings, _ identity: String, _ notes: [String])
    -> Trainer.Observer
  {
    var observer = Trainer.Observer()
    let context = context
    let clock = ContinuousClock()
    let begin = clock.now
    var first: Double?
    var fraction = 0.0
    observer.progress = { value in
      fraction = value
      if first == nil { first = value }
      try context.progress("train", value)
    }
    observer.point = { point in
      let elapsed = TrainingRun.seconds(clock.now - begin)
      let done = fraction - (first ?? 0)
      let left = done > 0 && fraction < 1 ? elapsed / done * (1 - fraction) : nil
      context.remark("train", TrainingRun.line(point, steps: settings.steps, left: left))
    }
    observer.isInterrupted = context.isInterrupted
    if let place = context.trainingState {
      observer.saveInterval = place.interval
      observer.save = { state in
        try place.makeFolder()
        try state.write(to: place.path, identity: identity, remarks: .array(notes.map { .string($0) }))
      }
    }
    return observer
  }

  /// One line about a point of the curve.
  static func line(_ point: TrainingPoint, steps: Int?, left: Double?) -> String {
    var parts = [steps.map { "step \(point.step) of \($0)" } ?? "step \(point.step)"]
    if let loss = point.loss { parts.append("loss \(short(loss))") }
    if let value = point.heldOutKLD { parts.append("held-out KL divergence \(short(value))") }
    if let value = point.heldOutLoss { parts.append("held-out perplexity \(short(exp(value)))") }
    if let value = point.heldOutDistance {
      parts.append("held-out cosine to the teacher \(short(1 - value))")
    }
    if point.step > 0 { parts.append("learning rate \(short(point.learningRate))") }
    if let speed = point.tokensPerSecond { parts.append("\(Int(speed)) tok/s") }
    if let left { parts.append(left < 90 ? "\(Int(left)) s left" : "\(Int(left / 60 + 0.5)) min left") }
    return parts.joined(separator: ", ")
  }

  /// Four significant digits.
  private static func short(_ value: Double) -> String {
    guard value.isFinite, value != 0 else { return "\(value)" }
    let digits = Int(floor(log10(abs(value))))
    let unit = pow(10, Double(3 - digits))
    let rounded = (value * unit).rounded() / unit
    return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int(rounded))" : "\(rounded)"
  }

  private func remarks(
    _ outcome: Trainer.Outcome, _ settings: TrainingSettings, _ text: CalibrationSet
  ) -> [String] {
    var notes = [
      "trained on \(text.name): \(outcome.steps) steps of \(settings.batchTokens) tokens, "
        + "\(TrainingRun.short(outcome.epochs)) times through \(text.tokenCount) tokens"
    ]
    if let first = outcome.curve.first, let best = outcome.curve.first(where: { $0.step == outcome.bestStep })
    {
      let (name, before, after) =
        first.heldOutDistance.map { ("held-out distance of embeddings", $0, best.heldOutDistance ?? 0) }
        ?? ("held-out KL divergence", first.heldOutKLD ?? 0, best.heldOutKLD ?? 0)
      notes.append(
        "\(name) \(TrainingRun.short(before)) before, \(TrainingRun.short(after)) after (step \(best.step))")
    }
    if outcome.bestStep == 0 {
      notes.append("training gained nothing on held-out text, so it was undone")
    }
    if outcome.stoppedEarly { notes.append("stopped early: held-out text gained nothing more") }
    if outcome.wasInterrupted {
      notes.append(
        "interrupted after step \(outcome.steps); the same command with --resume goes on from there")
    }
    if outcome.epochs > 10 {
      notes.append("the text was gone through more than ten times; give more with --train")
    }
    return notes
  }

  // MARK: What it is known by

  private func identity(_ student: Checkpoint, _ text: CalibrationSet) throws -> String {
    var options = JSONObject()
    self.options.write(to: &options)
    let shapes = student.tensors.map { "\($0.name) \($0.shape) \($0.format.rawValue) \($0.isSparse)" }
    let sample = try teacher.tensors.first.map { FileHash.sha256(of: try $0.bytes.load()) } ?? ""
    let parts =
      [JSONValue.object(options).text(sortedKeys: true), text.sha256, "\(text.tokenCount)", sample]
      + ["\(text.sequences.count)", "\(context.seed)", "\(teacher.parameterCount)"] + shapes
    return Array(parts.joined(separator: "\n").utf8).withUnsafeBytes { FileHash.sha256(of: $0) }
  }

  static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}

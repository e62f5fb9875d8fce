package import Models
import TensorCore

/// What a trainer teaches: the gradient of some documents, and a test on text that is not learned from.
protocol TrainingTask: AnyObject {
  /// The documents that are learned from.
  var documents: [[Int]] { get }
  /// The mean loss of some of the documents; its gradient goes into `gradients`.
  func step(_ places: [Int], weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>) -> Double
  /// What is learned besides the student's weights; nil for nothing.
  var projections: LearnedProjections? { get }
  /// What a test finds.
  func test(_ weights: NumberBuffer<Float>) -> HeldOutResult
}

/// What a test on held-out text found.
struct HeldOutResult {
  /// The mean KL divergence from the teacher, and the mean −ln p of the text: of a language model, in nats a token.
  var divergence, crossEntropy: Double?
  /// The mean of 1 − cosine between the student's and the teacher's embeddings: of an encoder.
  var distance: Double?
  /// What training makes smaller, the one of them that decides.
  var value: Double
}

/// Next tokens as the teacher predicts them.
final class LanguageTask: TrainingTask {
  let documents: [[Int]]
  private let step: GradientStep<Float>
  private let teacher: TeacherModel?
  private let rows: TeacherRows?
  private let hidden: HiddenLoss<Float>?
  let projections: LearnedProjections?
  private let heldOut: HeldOutTest

  /// The bytes of the teacher's states that are kept for the next time through the text.
  static let teacherMemory = 512 << 20

  init(
    student: Checkpoint, _ own: LlamaArchitecture, layout: ParameterLayout, teacher: Checkpoint,
    documents: [[Int]], heldOut: [[Int]], settings: TrainingSettings
  ) throws {
    self.documents = documents
    let vocabulary = own.configuration.vocabularySize
    func model(memory: Int) throws -> TeacherModel {
      let model = try TeacherModel(teacher, memory: memory, rounds: settings.rounds)
      guard model.vocabulary == vocabulary else {
        throw TrainingError(
          "the student has a vocabulary of \(vocabulary) tokens, its teacher one of "
            + "\(model.vocabulary): predictions can only be compared token by token")
      }
      return model
    }
    let source: HeldOutTest.Teacher
    if let cache = settings.teacherCache {
      try cache.check(settings.loss)
      let rows = try cache.rows(
        of: teacher, documents: documents + heldOut, vocabulary: vocabulary, settings: settings
      ) { try model(memory: 0) }
      (self.teacher, self.rows) = (nil, rows)
      source = .rows(rows, first: documents.count)
    } else {
      let model = try model(memory: LanguageTask.teacherMemory)
      (self.teacher, self.rows) = (model, nil)
      source = .model(model)
    }
    var graph = try LlamaGraph<Float>(own.configuration, layout: layout, isTied: student.isTied)
    graph.recomputes = settings.recomputes
    self.heldOut = HeldOutTest(graph, teacher: source, documents: heldOut, tokens: settings.testTokens)
    graph.rounds = settings.rounds
    var step = GradientStep(graph, loss: settings.loss)
    if settings.hiddenWeight > 0 {
      guard let model = self.teacher else {
        throw TrainingError(
          "a teacher's cache holds predictions, not states; leave it out, or --hidden-weight")
      }
      let hidden = HiddenLoss<Float>(
        settings.hiddenLoss, weight: settings.hiddenWeight,
        student: (own.configuration.blockCount, graph.width), teacher: (model.blockCount, model.width))
      step.taps = Set(hidden.pairs.map(\.student))
      (self.hidden, projections) = (hidden, LearnedProjections(hidden, settings: settings))
    } else {
      (hidden, projections) = (nil, nil)
    }
    self.step = step
  }

  func step(_ places: [Int], weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>) -> Double {
    if let hidden, let teacher, let projections {
      return stepInside(places, hidden, teacher, projections, weights, into: gradients)
    }
    let (teacher, rows, documents) = (teacher, rows, documents)
    return step.run(
      places.map { documents[$0] }, weights: weights.base,
      teacher: teacher.map { teacher in
        { part, chosen in
          (teacher.states(of: part, documents: chosen.map { places[$0] }), teacher.matrix, teacher.width)
        }
      },
      likeliest: rows.map { rows in
        { chosen in chosen.flatMap { rows.rows(places[$0], count: documents[places[$0]].count) } }
      }, into: gradients)
  }

  /// A step that compares states inside the models, too.
  private func stepInside(
    _ places: [Int], _ hidden: HiddenLoss<Float>, _ teacher: TeacherModel, _ projections: LearnedProjections,
    _ weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>
  ) -> Double {
    projections.gradients.clear()
    let taps = Set(hidden.pairs.map(\.teacher))
    var found: (part: [Int], states: (final: NumberBuffer<Float>, taps: [Int: NumberBuffer<Float>]))?
    func states(_ part: PackedTokens, _ chosen: [Int]) -> (
      final: NumberBuffer<Float>, taps: [Int: NumberBuffer<Float>]
    ) {
      if let found, found.part == chosen { return found.states }
      let states = teacher.states(of: part, taps: taps)
      found = (chosen, states)
      return states
    }
    return step.run(
      places.map { documents[$0] }, weights: weights.base,
      teacher: { part, chosen in (states(part, chosen).final, teacher.matrix, teacher.width) },
      inside: { pass, part, chosen, scale in
        hidden.run(
          student: pass.taps, teacher: states(part, chosen).taps, tokens: part.count,
          projections: projections.weights.base, scale: scale,
          projectionGradients: projections.gradients.base)
      }, into: gradients)
  }

  func test(_ weights: NumberBuffer<Float>) -> HeldOutResult {
    let found = heldOut.run(weights)
    return HeldOutResult(
      divergence: found.divergence, crossEntropy: found.crossEntropy,
      value: step.loss.needsTeacher ? found.divergence : found.crossEntropy)
  }
}

/// Embeddings as the teacher makes them.
final class EncoderTask: TrainingTask {
  let projections: LearnedProjections? = nil
  let documents: [[Int]]
  private let graph, teacher: BertGraph<Float>
  private let teacherWeights: NumberBuffer<Float>
  private let loss: EmbeddingLoss<Float>
  private let heldOut: [[Int]]
  private var goals: [[Double]] = []

  init(
    _ own: BertArchitecture, layout: ParameterLayout, teacher: Checkpoint, documents: [[Int]],
    heldOut: [[Int]], settings: TrainingSettings
  ) throws {
    guard settings.teacherCache == nil else {
      throw TrainingError(
        "encoders predict no tokens, so there are none to keep; leave the teacher's cache out")
    }
    guard settings.hiddenWeight == 0 else {
      throw TrainingError("encoders learn their teacher's last states as it is; leave --hidden-weight out")
    }
    guard let other = teacher.architecture as? BertArchitecture,
      other.configuration.vocabularySize == own.configuration.vocabularySize,
      other.configuration.hiddenSize == own.configuration.hiddenSize
    else { throw TrainingError("student and teacher do not have embeddings of the same size and vocabulary") }
    self.documents = documents
    self.heldOut = EncoderTask.spread(heldOut, settings.testTokens)
    var graph = try BertGraph<Float>(own.configuration, layout: layout)
    graph.rounds = settings.rounds
    self.graph = graph
    let teacherLayout = ParameterLayout(teacher)
    var goal = try BertGraph<Float>(other.configuration, layout: teacherLayout)
    goal.rounds = settings.rounds
    self.teacher = goal
    teacherWeights = try teacherLayout.weights(of: teacher)
    loss = EmbeddingLoss(takesFirst: own.configuration.pooling == .cls, width: own.configuration.hiddenSize)
  }

  private static func spread(_ documents: [[Int]], _ tokens: Int) -> [[Int]] {
    let all = documents.reduce(0) { $0 + $1.count }
    guard all > tokens else { return documents }
    let wanted = max(1, documents.count * tokens / all)
    return (0..<wanted).map { documents[$0 * documents.count / wanted] }
  }

  func step(_ places: [Int], weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>) -> Double {
    gradients.clear()
    var sum = 0.0
    for part in GradientStep<Float>.parts(places.map { documents[$0] }, tokens: 1024) {
      let packed = PackedTokens(part.map { documents[places[$0]] })
      let pass = graph.forward(packed, weights: weights.base, remembers: true)
      let goal = teacher.forward(packed, weights: teacherWeights.base, remembers: false)
      let gradient = NumberBuffer<Float>(pass.final.count)
      sum += loss.run(
        student: pass.final, teacher: goal.final, packed, total: places.count, gradient: gradient)
      graph.goBack(pass, gradient: gradient, weights: weights.base, into: gradients.base)
    }
    return sum
  }

  func test(_ weights: NumberBuffer<Float>) -> HeldOutResult {
    var own: [[Double]] = []
    let isFirst = goals.isEmpty
    for part in GradientStep<Float>.parts(heldOut, tokens: 1024) {
      let packed = PackedTokens(part.map { heldOut[$0] })
      own += loss.pooled(graph.forward(packed, weights: weights.base, remembers: false).final, packed)
      if isFirst {
        goals += loss.pooled(
          teacher.forward(packed, weights: teacherWeights.base, remembers: false).final, packed)
      }
    }
    let (a, b) = (EmbeddingLoss<Float>.directions(own), EmbeddingLoss<Float>.directions(goals))
    let sum = zip(a, b).reduce(0.0) { $0 + 1 - EmbeddingLoss<Float>.dot($1.0, $1.1) }
    let mean = sum / Double(max(1, a.count))
    return HeldOutResult(distance: mean, value: mean)
  }
}

import Models
import TensorCore

/// Next tokens as the teacher predicts them.
final class LanguageTask: TrainingTask {
  let documents: [[Int]]
  private var step: GradientStep<Float>
  private let teacher: TeacherModel?
  private let rows: TeacherRows?
  private let hidden: HiddenLoss<Float>?
  private let relation: RelationLoss<Float>?
  private let written: WrittenBatches?
  let projections: LearnedProjections?
  private let heldOut: HeldOutTest

  /// The bytes of the teacher's states that are kept for the next time through the text.
  static let teacherMemory = 512 << 20

  init(
    student: Checkpoint, _ own: LlamaArchitecture, layout: ParameterLayout, teacher: Checkpoint,
    documents: [[Int]], heldOut: [[Int]], settings: TrainingSettings, rounding: ActivationRounding? = nil
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
      try LanguageTask.check(settings)
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
    graph.rounding = rounding
    self.heldOut = HeldOutTest(graph, teacher: source, documents: heldOut, tokens: settings.testTokens)
    graph.rounds = settings.rounds
    step = GradientStep(graph, loss: settings.loss)
    written = settings.onPolicy > 0 ? try WrittenBatches(student, settings) : nil
    let model = self.teacher
    hidden = model.flatMap { model in
      guard settings.hiddenWeight > 0 else { return nil }
      return HiddenLoss<Float>(
        settings.hiddenLoss, weight: settings.hiddenWeight, student: (graph.blocks.count, graph.width),
        teacher: (model.blockCount, model.width))
    }
    projections = hidden.map { LearnedProjections($0, settings: settings) }
    relation = try model.flatMap { model in
      try RelationLoss(
        settings, student: (graph.blocks.count, [graph.queryWidth, graph.keyWidth]),
        teacher: (model.blockCount, model.attentionWidths), heads: model.headCount, isCausal: true)
    }
    step.taps = Set(hidden?.pairs.map(\.student) ?? [])
    step.relationBlock = relation?.student
  }

  /// Refuses what a teacher's cache does not hold.
  private static func check(_ settings: TrainingSettings) throws {
    guard settings.hiddenWeight == 0 else {
      throw TrainingError(
        "a teacher's cache holds predictions, not states; leave it out, or --hidden-weight")
    }
    guard settings.relationWeight == 0 else {
      throw TrainingError(
        "a teacher's cache holds predictions, not relations; leave it out, or --relation-weight")
    }
    guard settings.onPolicy == 0 else {
      throw TrainingError(
        "a teacher's cache holds predictions of known text, not of what the student writes; leave it out, or --on-policy"
      )
    }
  }

  func step(
    _ places: [Int], number: Int, weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>
  ) -> Double {
    let given = places.map { documents[$0] }
    if let written, written.isDue(number) {
      let texts = written.write(number, from: given, graph: step.student, weights: weights)
      return run(texts, places: texts.map { _ in -1 }, weights, into: gradients)
    }
    return run(given, places: places, weights, into: gradients)
  }

  /// A step on documents, which have these places in the text, or −1 where they are of no text.
  private func run(
    _ texts: [[Int]], places: [Int], _ weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>
  ) -> Double {
    guard let teacher else {
      return step.run(
        texts, weights: weights.base, teacher: nil,
        likeliest: rows.map { rows in
          { chosen in chosen.flatMap { rows.rows(places[$0], count: texts[$0].count) } }
        }, into: gradients)
    }
    guard hidden != nil || relation != nil else {
      return step.run(
        texts, weights: weights.base,
        teacher: { part, chosen in
          (teacher.states(of: part, documents: chosen.map { places[$0] }), teacher.matrix, teacher.width)
        }, into: gradients)
    }
    return runInside(texts, teacher, weights, into: gradients)
  }

  /// A step that compares what is inside the models, too.
  private func runInside(
    _ texts: [[Int]], _ teacher: TeacherModel, _ weights: NumberBuffer<Float>,
    into gradients: NumberBuffer<Float>
  ) -> Double {
    projections?.gradients.clear()
    let (hidden, relation, projections) = (hidden, relation, projections)
    let taps = Set(hidden?.pairs.map(\.teacher) ?? [])
    var found: (part: [Int], insight: TeacherModel.Insight)?
    func insight(_ part: PackedTokens, _ chosen: [Int]) -> TeacherModel.Insight {
      if let found, found.part == chosen { return found.insight }
      let insight = teacher.insight(into: part, taps: taps, relations: relation?.teacher)
      found = (chosen, insight)
      return insight
    }
    return step.run(
      texts, weights: weights.base,
      teacher: { part, chosen in (insight(part, chosen).final, teacher.matrix, teacher.width) },
      inside: { pass, part, chosen, scale in
        guard let hidden, let projections else { return (0, [:]) }
        return hidden.run(
          student: pass.taps, teacher: insight(part, chosen).taps, tokens: part.count,
          projections: projections.weights.base, scale: scale,
          projectionGradients: projections.gradients.base)
      },
      relations: { rows, part, chosen, scale in
        relation?.run(
          student: rows, teacher: insight(part, chosen).relations, documents: part.documents, scale: scale)
      }, into: gradients)
  }

  func test(_ weights: NumberBuffer<Float>) -> HeldOutResult {
    let found = heldOut.run(weights)
    return HeldOutResult(
      divergence: found.divergence, crossEntropy: found.crossEntropy,
      value: step.loss.needsTeacher ? found.divergence : found.crossEntropy)
  }
}

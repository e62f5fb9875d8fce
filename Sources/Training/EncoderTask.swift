import Models
import TensorCore

/// Embeddings as the teacher makes them.
final class EncoderTask: TrainingTask {
  let projections: LearnedProjections? = nil
  let documents: [[Int]]
  private let graph, teacher: BertGraph<Float>
  private let teacherWeights: NumberBuffer<Float>
  private let loss: EmbeddingLoss<Float>
  private let relation: RelationLoss<Float>?
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
    guard settings.onPolicy == 0 else {
      throw TrainingError("an encoder writes no text; leave --on-policy out")
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
    relation = try RelationLoss(
      settings, student: (graph.blocks.count, [graph.width]), teacher: (goal.blocks.count, [goal.width]),
      heads: goal.heads, isCausal: false)
    loss = EmbeddingLoss(takesFirst: own.configuration.pooling == .cls, width: own.configuration.hiddenSize)
  }

  private static func spread(_ documents: [[Int]], _ tokens: Int) -> [[Int]] {
    let all = documents.reduce(0) { $0 + $1.count }
    guard all > tokens else { return documents }
    let wanted = max(1, documents.count * tokens / all)
    return (0..<wanted).map { documents[$0 * documents.count / wanted] }
  }

  func step(
    _ places: [Int], number: Int, weights: NumberBuffer<Float>, into gradients: NumberBuffer<Float>
  ) -> Double {
    gradients.clear()
    var sum = 0.0
    let tokens = places.reduce(0) { $0 + documents[$1].count }
    for part in GradientStep<Float>.parts(places.map { documents[$0] }, tokens: 1024) {
      let packed = PackedTokens(part.map { documents[places[$0]] })
      let pass = graph.forward(
        packed, weights: weights.base, remembers: true, relations: relation?.student)
      let goal = teacher.forward(
        packed, weights: teacherWeights.base, remembers: false, relations: relation?.teacher)
      let gradient = NumberBuffer<Float>(pass.final.count)
      sum += loss.run(
        student: pass.final, teacher: goal.final, packed, total: places.count, gradient: gradient)
      let related = pass.relations.flatMap {
        relation?.run(
          student: $0, teacher: goal.relations, documents: packed.documents, scale: 1 / Float(tokens))
      }
      sum += (related?.loss ?? 0) / Double(tokens)
      graph.goBack(
        pass, gradient: gradient,
        relations: relation.flatMap { relation in related.map { (relation.student, $0.gradients) } },
        weights: weights.base, into: gradients.base)
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

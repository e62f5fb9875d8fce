import TensorCore

/// The gradient of a batch: a pure function of weights and documents.
///
/// A batch goes through in parts, each of whole documents, so memory holds the activations of one part. For training on several
/// processes each takes a share of the documents, ``batchTokens`` being those of all of them, and ``allReduce`` sums up.
package struct GradientStep<Number: TrainingNumber>: Sendable {
  /// The student.
  package var student: LlamaGraph<Number>
  /// What the student is compared with.
  package var loss: DistillationLoss
  /// The tokens of a part, unless a single document has more.
  package var partTokens = 1024
  /// Sums gradients over processes; this one's alone where there are no others.
  package var allReduce: @Sendable (UnsafeMutableBufferPointer<Number>) -> Void = { _ in }

  /// The last states of the teacher for some documents, and its output matrix.
  package typealias Teacher = (_ part: PackedTokens, _ documents: [Int]) -> (
    states: NumberBuffer<Number>, matrix: UnsafePointer<Number>, width: Int
  )

  /// What was kept of the teacher's predictions of some documents, a row a token.
  package typealias Likeliest = (_ documents: [Int]) -> [LikeliestRow]

  /// What is compared inside the models: asked for each part behind its output, given the student's pass, the part, its documents'
  /// places and what gradients are multiplied by; gives the sum of the tokens' losses and the gradients by the student's states.
  package typealias Inside = (
    _ pass: LlamaGraph<Number>.Pass, _ part: PackedTokens, _ documents: [Int], _ scale: Number
  ) -> (loss: Double, gradients: [Int: NumberBuffer<Number>])

  /// The states inside the student that ``Inside`` asks for.
  package var taps: Set<Int> = []

  /// A loss of the relations within a block, ``relationBlock``: asked for each part behind its output, like ``Inside``.
  package typealias Relations = (
    _ rows: AttentionRows<Number>, _ part: PackedTokens, _ documents: [Int], _ scale: Number
  ) -> (loss: Double, gradients: AttentionRows<Number>)?

  /// The student's block that ``Relations`` asks for.
  package var relationBlock: Int?

  /// A step of `student`.
  package init(_ student: LlamaGraph<Number>, loss: DistillationLoss) {
    self.student = student
    self.loss = loss
  }

  /// The mean loss of a batch's tokens; its gradient goes into `gradients`, which start as zeros.
  ///
  /// - Parameters:
  ///   - teacher: asked for each part, given the part and its documents' places in `documents`.
  ///   - likeliest: asked in place of the teacher, given the documents' places.
  ///   - inside: a loss of states inside the models.
  ///   - relations: a loss of relations inside them.
  package func run(
    _ documents: [[Int]], weights: UnsafePointer<Number>, teacher: Teacher?,
    likeliest: Likeliest? = nil, inside: Inside? = nil, relations: Relations? = nil,
    into gradients: NumberBuffer<Number>
  ) -> Double {
    gradients.clear()
    let total = documents.reduce(0) { $0 + loss.validCount(PackedTokens([$1]).targets) }
    guard total > 0 else { return 0 }
    var sum = 0.0
    for part in GradientStep.parts(documents, tokens: partTokens) {
      let packed = PackedTokens(part.map { documents[$0] })
      let pass = student.forward(
        packed, weights: weights, remembers: true, taps: taps, relations: relationBlock)
      let gradient = NumberBuffer<Number>(packed.count * student.width, isZeroed: false)
      let goal = loss.needsTeacher ? teacher?(packed, part) : nil
      var output = OutputLoss<Number>(loss, vocabulary: student.vocabulary)
      output.rounds = student.rounds
      let states = student.outputInput(pass.final)
      sum += output.run(
        student: .init(
          states: states.base, matrix: weights + student.output, width: student.width),
        teacher: goal.map { .init(states: $0.states.base, matrix: $0.matrix, width: $0.width) },
        likeliest: loss.needsTeacher ? likeliest?(part) : nil, targets: packed.targets,
        scale: 1 / Number(total), gradient: gradient,
        matrixGradient: gradients.base + student.output)
      withExtendedLifetime(states) {}
      let hidden = inside?(pass, packed, part, 1 / Number(total))
      sum += hidden?.loss ?? 0
      let related = pass.relations.flatMap { relations?($0, packed, part, 1 / Number(total)) }
      sum += related?.loss ?? 0
      student.goBack(
        pass, gradient: gradient, adding: hidden?.gradients ?? [:],
        relations: relationBlock.flatMap { block in related.map { (block, $0.gradients) } },
        weights: weights, into: gradients.base)
    }
    allReduce(UnsafeMutableBufferPointer(start: gradients.base, count: gradients.count))
    return sum / Double(total)
  }

  /// Documents in runs of at most `tokens` tokens.
  package static func parts(_ documents: [[Int]], tokens: Int) -> [[Int]] {
    var (parts, part, count) = ([[Int]](), [Int](), 0)
    for (place, document) in documents.enumerated() where !document.isEmpty {
      if !part.isEmpty, count + document.count > tokens {
        parts.append(part)
        (part, count) = ([], 0)
      }
      part.append(place)
      count += document.count
    }
    return part.isEmpty ? parts : parts + [part]
  }
}

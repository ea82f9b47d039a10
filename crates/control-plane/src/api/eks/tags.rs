//! `TagResource`, `UntagResource`, `ListTagsForResource`: the tags of an association, by its ARN.

use identity::{Arn, AssociationId};

use super::members::Request;
use super::requests::{TAG, Tag, UNTAG, Untag};
use super::views::{Nothing, TagsOnly};
use super::{Answer, Refusal, Room};

impl Room {
    pub(super) async fn tag(&self, arn: &str, request: &Request<'_>) -> Result<Answer, Refusal> {
        let id = self.id_of(arn)?;
        let Tag { tags } = request.of_body(TAG).map_err(Refusal::about_tags)?;
        self.store.tag(id, tags).await?.ok_or_else(|| no_resource(arn))?;
        Ok(Answer::result(&Nothing {}))
    }

    pub(super) async fn untag(&self, arn: &str, request: &Request<'_>) -> Result<Answer, Refusal> {
        let id = self.id_of(arn)?;
        let Untag { tag_keys } = request.of_query(UNTAG).map_err(Refusal::about_tags)?;
        self.store.untag(id, tag_keys).await?.ok_or_else(|| no_resource(arn))?;
        Ok(Answer::result(&Nothing {}))
    }

    pub(super) async fn list_tags(&self, arn: &str) -> Result<Answer, Refusal> {
        let id = self.id_of(arn)?;
        let stored = self.store.get(&id).await?.ok_or_else(|| no_resource(arn))?;
        Ok(Answer::result(&TagsOnly { tags: &stored.tags }))
    }

    /// The association of an ARN, if the ARN is one of this cluster's associations.
    fn id_of(&self, arn: &str) -> Result<AssociationId, Refusal> {
        let parsed: Arn =
            arn.parse().map_err(|error| Refusal::Tags(format!("resourceArn in the path: {error}.")))?;
        let tail = parsed.resource().rsplit('/').next().unwrap_or_default();
        let id: AssociationId = tail.parse().map_err(|_| no_resource(arn))?;
        // Whole: region, account and cluster must be ours too.
        if id.arn(&self.cluster) == arn { Ok(id) } else { Err(no_resource(arn)) }
    }
}

fn no_resource(arn: &str) -> Refusal {
    Refusal::NoResource { given: arn.to_owned() }
}
